"""What is known of Triton as tables: releases, backends, data types."""
