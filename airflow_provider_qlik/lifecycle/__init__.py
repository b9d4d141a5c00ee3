"""Checkpoint, deferral, cancellation, trigger events and files, for operators, sensors and triggers."""
