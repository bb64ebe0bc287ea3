"""Files to sections and chat messages (`files.FileReader`), then chunks (`chunking.StructuralChunker`)."""
