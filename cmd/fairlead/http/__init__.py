"""The controller's own HTTP server: health, metrics, webhooks."""
