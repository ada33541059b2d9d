"""Pages that show many results at once: plain HTML files that need no server and no network."""
