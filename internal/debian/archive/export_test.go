package archive

// ParseReleaseForTest reads a Release without a signature.
var ParseReleaseForTest = parseRelease
