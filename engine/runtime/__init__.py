"""The live loop: receive, plan, claim, deliver, record."""
