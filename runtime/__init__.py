"""What processes share: start-up, clocks, epochs, and files that outlive them."""
