"""The demo corpus: real speech, and spoofed speech made of it."""
