// expect: 'key' consumed more than once
import SCXEncoding

func leak(_ key: consuming OneTimeChannelKey, _ queries: HeadRows, _ keyValues: HeadRows) {
    _ = key.encode(queries: queries, keyValues: keyValues)
    _ = key.encode(queries: queries, keyValues: keyValues)
}
