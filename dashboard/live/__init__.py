"""What is shown as it happens: read once a tick for all who watch, and handed to each as a stream."""
