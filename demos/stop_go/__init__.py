"""Five small cars stop on red and go on green, under changing light, and a bad model is rolled back."""
