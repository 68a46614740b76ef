// side: untrusted
// expect: cannot find type 'OneTimeRowKey' in scope
import SCXEncoding

func leak(_ key: consuming OneTimeRowKey) {}
