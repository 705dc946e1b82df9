"""What people slip on when they write YAML: found in the text, told in plain words, mended in memory."""
