"""`edge tune`: searches beyond the plans of an effort, in a study that any number of workers share."""
