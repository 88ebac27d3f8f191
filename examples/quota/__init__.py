"""An API's quota: counted by events, and kept in step with a SQL table."""
