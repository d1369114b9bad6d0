"""Names as they were told, in tables, judged side by side whoever told them."""
