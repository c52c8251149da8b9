"""Report: `collect` reads the results, `figures` draws them, `render` writes the page."""
