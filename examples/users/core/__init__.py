"""What all layers share: settings, models, schemas, events, passwords, logging."""
