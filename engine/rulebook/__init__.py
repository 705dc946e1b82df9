"""Rule texts become a checked, indexed rulebook; an event becomes a plan."""
