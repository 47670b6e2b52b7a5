"""What a person looks at and takes home: pages, figures, deliveries."""
