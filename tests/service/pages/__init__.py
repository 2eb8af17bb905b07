"""Tests of service.pages: through the application, and in a real browser."""
