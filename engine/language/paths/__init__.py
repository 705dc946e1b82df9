"""The inside of paths: the two grammars of JSONPath, and the one way their steps are walked."""
