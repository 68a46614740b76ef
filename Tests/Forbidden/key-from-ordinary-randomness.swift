// expect: cannot convert value of type 'SystemRandomNumberGenerator' to expected argument type 'SecureRandom'
import SCXEncoding

func leak(_ shape: HeadShape) {
    var random = SystemRandomNumberGenerator()
    _ = OneTimeChannelKey(shape, random: &random)
}
