"""What other tools say of sequences (SINTAX of vsearch, blast6 and uc of BLAST, vsearch and usearch), as our own names."""
