"""What is under deploy/: the image, the compose file, the chart, alerts and dashboards."""
