"""The table: solids, contacts and a camera in three dimensions, by MuJoCo."""
