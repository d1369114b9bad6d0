"""The page of a report: words, charts and pictures as one HTML file without outside resources."""
