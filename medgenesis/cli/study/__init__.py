"""Parts of the command `medgenesis transfer`."""
