import ArgumentParser
import SCXArguments

@main
struct LabCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scx-lab",
        abstract: "Makes test models, measures speed, and studies what workers see.",
        subcommands: [
            SynthCommand.self,
            BenchCommand.self,
            AttentionCommand.self,
            LongContextCommand.self,
            LinkBenchCommand.self,
            LinkBenchEchoCommand.self,
            TranscriptCommand.self,
            OverheadCommand.self,
            SealedCommand.self,
            AgreementCommand.self,
            RepeatCommand.self,
            StatelessCommand.self,
            ControlCommand.self,
            AttackCommand.self,
            AttackServerCommand.self,
            RoutingCommand.self,
            ExpertsCommand.self,
            ReportCommand.self,
            LoadCommand.self,
            EndureCommand.self,
            FuzzCommand.self,
            ConformanceCommand.self,
            RunWithParentCommand.self,
        ])

    static func main() { UnknownOption.main(Self.self) }
}
