// side: untrusted
// expect: cannot find type 'PadRows' in scope
import SCXEncoding

func leak(_ pads: consuming PadRows) {}
