"""What may go out: secrets, personal data, instructions and images from elsewhere are held back before anybody sees them."""
