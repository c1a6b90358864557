"""Commands that belong to no part: they look at bundles, targets and this machine."""
