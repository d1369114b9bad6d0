"""Do the nearest specimens belong to the taxon of the query?"""
