"""The words of the command line, a file for each thing that people do with them."""
