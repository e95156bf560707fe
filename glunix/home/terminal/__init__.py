"""The home terminal: modes, size, flow, and which ioctls a job may make on it."""
