import ArgumentParser
import SCXLink

struct TranscriptCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "transcript",
        abstract: "Looks at what a worker recorded.",
        subcommands: [Show.self])

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Prints the messages of a transcript, and totals of each kind.")

        @Argument(help: ArgumentHelp("The directory of scx-worker's --record.", valueName: "dir"))
        var directory: String

        @Option(
            help: ArgumentHelp("Print only the first so many messages; totals are of all.", valueName: "n"))
        var limit: Int?

        @Flag(help: "Print minimum, maximum, mean and first values of each tensor.")
        var values = false

        func validate() throws {
            if let limit, limit < 0 { throw ValidationError("--limit must not be negative") }
        }

        func run() throws {
            let transcript = try Transcript(directory: directory)
            var run = -1
            if limit != 0 { print(TranscriptTable.heading) }
            for entry in transcript.entries.prefix(limit ?? .max) {
                if entry.run != run {
                    run = entry.run
                    print("run \(run + 1) of \(transcript.starts.count)")
                }
                print(TranscriptTable.row(entry))
                if values, let text = try TranscriptTable.values(of: entry, in: transcript) { print(text) }
            }
            if let limit, transcript.entries.count > limit {
                print("… and \(transcript.entries.count - limit) more")
            }
            for line in TranscriptTable.totals(transcript.entries) { print(line) }
            if transcript.endsEarly {
                print("The last line is incomplete: the worker was writing it, or died.")
            }
        }
    }
}
