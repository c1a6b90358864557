"""Bundle in, decisions out: `edge run`. Runs on the device."""
