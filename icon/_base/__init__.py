"""What every room stands on: floats, checks, pytrees, blocks of rows."""
