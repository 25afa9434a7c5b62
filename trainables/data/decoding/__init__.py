"""The one place that decodes: which frames a video shows, reading them by number, images, and which way is up."""
