"""What people and other tools read, derived from records: tables, a page with pictures, and exports."""
