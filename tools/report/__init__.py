"""Reports what a period of trading earned and why, from the database: queries, figures, page, tables."""
