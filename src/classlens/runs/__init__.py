"""What the commands do, as functions that Python can call too: a frozen request goes in, files are written, a result comes out."""
