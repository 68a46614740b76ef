// expect: argument type 'OneTimeRowKey' does not conform to expected type 'Copyable'
import SCXEncoding

func leak(_ key: consuming OneTimeRowKey) {
    print(key)
}
