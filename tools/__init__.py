"""What people run: one table of verbs in `main`, one module a verb in `verbs`."""
