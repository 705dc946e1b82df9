"""The inside of templates: their syntax checked, their fields found, and their tree walked over event data."""
