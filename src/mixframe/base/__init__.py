"""Base: errors, files, schemas, processes; what every room may use, and knows nothing of speech."""
