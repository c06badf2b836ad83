"""What may be picked: candidates, and what makes a combination one."""
