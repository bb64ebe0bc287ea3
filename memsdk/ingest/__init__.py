"""Files and chat exports to sections and messages (`FileReader`), sections to chunks (`StructuralChunker`)."""
