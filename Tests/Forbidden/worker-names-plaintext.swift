// side: untrusted
// expect: cannot find type 'Plaintext' in scope
import SCXEncoding

func leak(_ x: consuming Plaintext) {}
