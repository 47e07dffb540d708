"""The page: its built files, and the calls that it needs beside those of any client."""
