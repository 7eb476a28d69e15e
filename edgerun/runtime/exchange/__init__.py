"""What the daemon and its subscribers say to one another beside alerts and detections."""
