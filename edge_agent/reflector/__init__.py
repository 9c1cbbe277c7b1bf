"""The other end of a link's measurements: answers STAMP, and takes trains and bulk data when allowed to."""
