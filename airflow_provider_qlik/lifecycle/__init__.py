"""What operators, sensors and triggers compose: checkpoint, deferral, cancellation, trigger events, files."""
